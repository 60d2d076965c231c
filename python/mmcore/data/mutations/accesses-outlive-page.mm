machine lru_policy=mglru
map r0 anon 1
write r0
thread A
  mark_accessed r0
  mark_accessed r0
  unmap r0
  allocate p0
