machine nodes=1 pages=20 pageblock_order=2 cpus=1 pressure=on
set min_free_kbytes 0
map r0 anon 16
write r0
allocate p1 order=1
madv r0:14-15 dontneed
madv r0:0,2-4,6-8,10-12 dontneed
pin g0 r0:1,5,9,13 pipe
drain
thread A
  allocate p0 order=2
  free p0
thread B
  free p1
