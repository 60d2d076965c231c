machine nodes=1 pages=2
map r0 file 1
map r1 file 1
fread r0
drain
thread A
  fread r0
thread B
  drop 1
  fread r1
