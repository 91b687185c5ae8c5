"""What is in interpreted/ needs Triton's interpreter, which is chosen before Triton is imported: `test_interpreter`."""

import os

if os.environ.get("TRITON_INTERPRET") != "1":
    collect_ignore = ["interpreted"]
