machine pages=8 pageblock_order=2 block=4
map r0 anon 1 node=1
write r0
drain
get r0
thread A
  memblk 0 offline node=1
