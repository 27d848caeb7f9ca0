import sys

print "the answer is", 42
exec "print 1" in {}
raise ValueError, sys.argv
