machine nodes=2 pages=4
map r0 anon 2 order=1
write r0
drain
fillnode 1
thread A
  isolate r0:0
  migrate r0:0 node=1
