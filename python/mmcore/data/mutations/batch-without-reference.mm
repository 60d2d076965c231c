allocate p0
thread A
  lru_add p0
  drain
