machine nodes=1 pages=4 cpus=2 batches=drain_once
thread A cpu=1
  drain
thread B cpu=0
  allocate p0
  lru_add p0
thread C cpu=1
  drain
