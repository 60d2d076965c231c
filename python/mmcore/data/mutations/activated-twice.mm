map r0 anon 1
write r0
drain
mark_accessed r0
thread A
  mark_accessed r0
  drain
thread B
  mark_accessed r0
  mark_accessed r0
  drain
