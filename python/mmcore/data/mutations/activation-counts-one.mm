map r0 anon 2 order=1
write r0
drain
thread A
  mark_accessed r0:0
  mark_accessed r0:0
  drain
