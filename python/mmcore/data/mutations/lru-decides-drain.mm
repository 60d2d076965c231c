machine movable=1
map r0 anon 1 node=1
write r0
drain
thread A cpu=0
  pin g0 r0 longterm
thread B cpu=1
  mark_accessed r0
  mark_accessed r0
