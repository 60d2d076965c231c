map r0 file 3
fwrite r0
drain
thread A
  begin_writeback r0:0
  reclaim 1
  end_writeback r0:0
  drain
