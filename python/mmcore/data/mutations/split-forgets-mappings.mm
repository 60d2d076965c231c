map r0 anon 2 order=1
write r0
drain
thread A
  split r0:0
thread B
  read r0:1
