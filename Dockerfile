FROM python:3.11-slim
WORKDIR /app
# A GPU's kernels are compiled when they are first used, which takes a C compiler.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY requirements.txt .
# PyTorch's own index of CPU builds, given here as a build argument, makes the image several GB smaller.
ARG PIP_EXTRA_INDEX_URL=""
RUN pip install --no-cache-dir -r requirements.txt
COPY streamlit_app.py ./
COPY .streamlit .streamlit
COPY pages pages
COPY core core
RUN useradd --create-home textuner && mkdir /data && chown textuner /data
USER textuner
ENV TEXTUNER_HOME=/data TRITON_CACHE_DIR=/data/kernels
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["streamlit", "run", "streamlit_app.py", "--server.address", "0.0.0.0", "--server.port", "8501"]
