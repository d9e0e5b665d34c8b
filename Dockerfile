# The page and the HTTP API, as a user without rights.
#
#   docker build -t ilora .                                 torch from pip's default index; runs on the CPU
#   docker build --build-arg TORCH_INDEX=<url> -t ilora .   an index with CPU-only wheels (smallest image) or with
#                                                           the CUDA build you want; run that with --gpus all
#   docker compose --profile gpu up --build                 the same from compose.yaml; --profile cpu without a card
#   docker run --read-only --tmpfs /tmp -p 7860:7860 -v ilora-cache:/var/cache/ilora ilora
FROM python:3.11-slim

# The OpenMP runtime behind the 4-bit CPU kernels; the slim image has none, and its version follows the image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 ilora \
    && install -d -o ilora -g ilora /var/cache/ilora

WORKDIR /srv/ilora

# Requirements before code: changing a line of ours does not download torch again.
ARG TORCH_INDEX=""
COPY requirements.txt ./
RUN grep '^torch==' requirements.txt > torch.txt \
    && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -r torch.txt \
    && pip install --no-cache-dir -r requirements.txt

COPY pyproject.toml README.md LICENSE ./
COPY quant quant
COPY core core
COPY exports exports
COPY app app
RUN pip install --no-cache-dir --no-deps .

# By number: an orchestrator that insists on non-root can tell without reading /etc/passwd.
USER 10001
ENV ILORA_CACHE=/var/cache/ilora \
    PYTHONUNBUFFERED=1
VOLUME /var/cache/ilora
EXPOSE 7860

# A minute to start: the first start also fetches the backbone into the volume.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health', timeout=4)"]

CMD ["ilora", "serve", "--host", "0.0.0.0", "--port", "7860"]
