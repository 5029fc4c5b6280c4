# A Celery worker of examples/stdlib_search. It shows what a worker image needs: the package, and your modules.
FROM python:3.11-slim-bookworm

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY policies policies
COPY src src
RUN pip install --no-cache-dir -c constraints.txt '.[otlp]'

COPY examples /app
# /data is a volume; made here, it belongs to the user who writes there. docker-compose.yml has a reader of this number.
RUN useradd --create-home --uid 1000 worker && install -d -o worker /data
USER worker
WORKDIR /app/stdlib_search
CMD ["celery", "-A", "app", "worker", "--loglevel=INFO", "--concurrency=2", "--queues=stdlib-search,stdlib-search-later"]
