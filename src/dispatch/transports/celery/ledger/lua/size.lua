-- late -> entries of calls that have not ended, those of them that are due for longer than `late`, dead letters.

return {redis.call('ZCARD', due), redis.call('ZCOUNT', due, '-inf', clock() - ARGV[1]), redis.call('ZCARD', dead)}
