map r0 file 1
fread r0
drain
thread A
  truncate r0 0
