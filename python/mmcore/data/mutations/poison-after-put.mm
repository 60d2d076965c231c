machine nodes=1 pages=8 cpus=1
map r0 anon 1
map r1 anon 1
write r0
drain
thread A
  madv r0 soft_offline
thread B
  write r1
