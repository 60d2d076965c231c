machine cpus=1
swapon 1
map r0 anon 1
write r0
drain
thread A
  reclaim 1
thread B
  unmap r0
