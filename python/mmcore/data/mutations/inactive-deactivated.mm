map r0 file 1
fwrite r0
drain
thread A
  read r0
thread B
  drop 1
