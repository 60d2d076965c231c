machine pages=8 pageblock_order=2 block=4
allocate p0 node=1
thread A
  memblk 0 offline node=1
thread B
  free p0
