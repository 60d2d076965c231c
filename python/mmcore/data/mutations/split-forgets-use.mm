map r0 anon 2 order=1
write r0
drain
mark_accessed r0:0
thread A
  read r0
  split r0:0
