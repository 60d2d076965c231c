machine cpus=1
map r0 anon 1
write r0
drain
thread A
  isolate r0
  putback r0
thread B
  unmap r0
