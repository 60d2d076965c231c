swapon 1
map r0 anon 1
write r0
drain
madv r0 pageout
fork c2
thread A
  read r0
thread B
  cread c2 r0
