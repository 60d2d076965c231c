map r0 file 2
fread r0
drain
thread A
  reclaim 1
