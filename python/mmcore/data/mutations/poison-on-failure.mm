map r0 anon 1
write r0
drain
get r0
thread A
  madv r0 soft_offline
thread B
  read r0
