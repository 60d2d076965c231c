machine pages=4 cpus=1 block=4 pageblock_order=2
allocate p0 node=1
thread A
  memblk 0 offline node=1
thread B
  free p0
