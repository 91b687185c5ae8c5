# The book with all that it needs, in JupyterLab:
#   docker build -t dfnas .                           PyTorch for CPUs
#   docker build --build-arg TORCH=cu130 -t dfnas .   PyTorch for CUDA 13 (run it with --gpus all)
#   docker run --rm -p 8888:8888 dfnas                then open the address that it prints
#   docker run --rm dfnas make book                   or any other command of README.md
FROM python:3.11-slim-bookworm
ARG TORCH=cpu
# the environment lies outside the checkout, so that an editor may mount its own checkout over this one
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/${TORCH} PIP_NO_CACHE_DIR=1 VENV=/opt/dfnas
ENV PATH=${VENV}/bin:${PATH}

# a compiler for torch.compile, git for the commit on each card, a browser for the tests; versions are Debian's
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -yq --no-install-recommends chromium fonts-dejavu-core g++ git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 reader \
    && install --directory --owner=reader ${VENV}

WORKDIR /home/reader/dfnas
RUN chown reader .
USER 1000
COPY --chown=1000 . .
RUN make set-up

EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "--notebook-dir=."]
