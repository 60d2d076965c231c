map r0 file 1
read r0
drain
thread A
  read r0
thread B
  write r0
