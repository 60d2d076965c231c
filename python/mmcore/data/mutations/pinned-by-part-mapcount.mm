machine nodes=1 pages=32 pageblock_order=3
map r0 anon 2 order=1
write r0
drain
thread A
  compact node=0
thread B
  read r0
