allocate p0
lru_add p0
drain
thread A
  isolate p0
thread B
  isolate p0
