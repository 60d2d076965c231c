machine nodes=1 pages=8 cpus=1 pressure=on
map r0 file 6
fread r0
drain
set min_free_kbytes 16
thread A
  drain
thread B
  kswapd
