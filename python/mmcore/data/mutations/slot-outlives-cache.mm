swapon 1
map r0 anon 2
write r0
drain
thread A
  madv r0 pageout
