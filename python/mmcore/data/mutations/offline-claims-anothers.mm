machine pages=8 block=4 pageblock_order=2
thread A
  memblk 0 offline node=1
thread B
  memblk 0 offline node=1
