allocate p0
lru_add p0
thread A
  drain
thread B
  free p0
