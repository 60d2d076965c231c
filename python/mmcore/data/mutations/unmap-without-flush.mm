map r0 anon 1
write r0
drain
thread A
  unmap r0
thread B
  read r0
