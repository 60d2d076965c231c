swapon 1
map r0 anon 1
write r0
drain
thread A
  madv r0 free
  drain
  write r0
  madv r0 pageout
