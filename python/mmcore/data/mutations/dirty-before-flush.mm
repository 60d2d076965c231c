map r0 file 2
write r0:1
drain
thread A
  write r0:0
thread B
  unmap r0:0
thread C
  begin_writeback r0:0
finally
  drop 1
  fread r0:0
