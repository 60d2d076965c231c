swapon 8
map r0 anon 2 order=1
write r0
drain
thread A
  madv r0 pageout
  read r0
thread B
  get r0:0
  put r0:0
  split r0:0
