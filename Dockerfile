# Runs the README's two commands on a CPU:
#   docker build -t recrl . && docker run --rm recrl                  (the quickstart)
#   docker run --rm recrl sh -c "pip install -e '.[offline,dev]' && pytest"   (the tests)
FROM python:3.12-slim
# git: experiments record the commit of the code that they ran.
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
WORKDIR /recrl
RUN pip install --no-cache-dir torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
COPY . .
RUN pip install --no-cache-dir -e '.[offline]'
ENV OMP_NUM_THREADS=1
CMD ["recrl", "quickstart"]
