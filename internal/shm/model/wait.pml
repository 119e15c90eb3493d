/*
 * The wait protocol of one ring, for the model checker spin. See doc.go of
 * package shm for the protocol in words; check.sh runs this and says what the
 * mutations below are for.
 *
 * A producer writes BYTES bytes, in pieces of any size, and closes. A consumer
 * reads them in pieces of any size, or stops at any moment. Either may be killed
 * between any two steps. Bells may ring for nothing, and deadlines may end a
 * sleep. Checked are: nobody sleeps for ever, every byte arrives once and in
 * order, and the consumer learns of the end only after the last byte.
 *
 * Each statement that touches a shared word is a step of its own, in the order
 * of the Go code. Memory is sequentially consistent, as Go's atomics are.
 */

#ifndef CAP
#define CAP 3      /* bytes of the ring */
#endif
#ifndef WAKE
#define WAKE 2     /* free bytes below which the consumer lets a producer sleep */
#endif
#ifndef BYTES
#define BYTES 5
#endif
#ifndef DEADLINES
#define DEADLINES 1  /* sleeps that each end may break off */
#endif
#ifndef SPURIOUS
#define SPURIOUS 1   /* bells for nothing, to each end */
#endif

#define P 0 /* the producer's end */
#define C 1 /* the consumer's */

/* The words of the ring, and its bytes: each holds the low part of its index. */
byte tail, head;
bit fin, rst, rwait, wwait;
byte ring[CAP];

/* The socket and what hangs on it, by end. */
bit bell[2];       /* a byte lies in the socket, for this end to read */
bit closed[2];     /* this end is closed, by its owner or by the kernel */
bit gone[2];       /* this end knows that the other is closed */
bit token[2];      /* the sleeper of this end was roused */
bit killed[2];

byte spurious[2];

/* The outcomes of a look. */
#define NOTHING 0
#define SOME    1
#define END     2  /* by a close: io.EOF, EPIPE */
#define LOST    3  /* the peer is gone: ECONNRESET */

/* Session.Ring: a full socket buffer holds a bell already. */
inline ring_bell(end) {
	atomic { if :: !closed[end] -> bell[end] = 1 :: else fi }
}

/* takeWait, and the bell for whoever is told true. */
inline take_wait(wait, end) {
	if
	:: wait == 1 ->                     /* W2 */
		if
		:: atomic { wait == 1 -> wait = 0 }  /* W3: the CAS */
			ring_bell(end)
		:: wait == 0                    /* W3: it failed */
		fi
	:: else
	fi
}

/* The end of Close: after fin and rst the socket goes, which rouses the peer. */
inline close_socket(end) { closed[end] = 1 }

/* Session.Await: the one goroutine of an end that waits on the socket. */
proctype Await(bit me) {
end_await:
	do
	:: atomic { bell[me] -> bell[me] = 0 }
		token[me] = 1
	:: !bell[me] && closed[1 - me] ->
		gone[me] = 1;
		token[me] = 1;
		break
	od
}

/* Session.Writable */
inline writable(r) {
	if
	:: rst -> r = END
	:: else ->
		if
		:: gone[P] -> r = LOST
		:: else ->
			if
			:: p_tail - p_head < CAP -> r = SOME
			:: else ->
				d_step {
					p_head = head;
					assert(p_tail - p_head <= CAP);
					r = (p_tail - p_head < CAP -> SOME : NOTHING)
				}
			fi
		fi
	fi
}

/* awaitWritable; its loop is the same for both ends. */
inline await_writable(r) {
	do
	:: writable(r);
		if :: r != NOTHING -> break :: else fi;
		wwait = 1;                      /* S1 */
#ifndef NO_RECHECK
		writable(r);                    /* S2 */
		if :: r != NOTHING -> wwait = 0; break :: else fi;
#endif
parked_p:
		if                              /* S3 */
		:: atomic { token[P] -> token[P] = 0 }
		:: p_deadlines > 0 -> p_deadlines--
		fi;
#ifdef NO_REANNOUNCE
		writable(r);
		if :: r == NOTHING -> goto parked_p :: else fi;
#endif
		wwait = 0
	od
}

proctype Producer() {
	byte p_tail, p_head, n, want, r;
	byte p_deadlines = DEADLINES;
	{
		do
		:: p_tail == BYTES -> break
		:: p_tail < BYTES ->
			await_writable(r);
			if :: r != SOME -> goto shut :: else fi;
			atomic { select(want : 1 .. BYTES - p_tail) };
			/* Free: a look at head only if what is known doesn't do. */
			if
			:: CAP - (p_tail - p_head) < want -> p_head = head
			:: else
			fi;
			d_step {
				n = CAP - (p_tail - p_head);
				if :: n > want -> n = want :: else fi
			};
			d_step {                    /* P1; the bytes are the producer's own */
				want = 0;
				do
				:: n == 0 -> break
				:: n > 0 -> ring[p_tail % CAP] = p_tail; p_tail++; n--
				od
			};
#ifdef LOOK_BEFORE_PUBLISH
			take_wait(rwait, C);
			tail = p_tail
#else
			tail = p_tail;              /* P2 and W1 */
			take_wait(rwait, C)
#endif
		od;
		if
		:: fin = 1;                     /* CloseWrite, and then Close */
#ifndef FIN_WITHOUT_BELL
			take_wait(rwait, C);
#endif
			/* The peer's answer to a half-close is its own close. */
			gone[P]
		:: fin = 1                      /* Close: the socket rings */
		fi
	} unless { killed[P] };
shut:
	close_socket(P)
}

/* Session.Readable: gone and fin are looked at before the ring. */
inline readable(r) {
#ifdef RING_BEFORE_FIN
	if :: c_tail == c_head -> c_tail = tail :: else fi;
	lost = gone[C];
	ended = fin;
#else
	lost = gone[C];
	ended = fin;
	if :: c_tail == c_head -> c_tail = tail :: else fi;
#endif
	d_step {
		assert(c_tail - c_head <= CAP);
		r = (c_tail != c_head -> SOME : (ended -> END : (lost -> LOST : NOTHING)));
		ended = 0;
		lost = 0
	}
}

inline await_readable(r) {
	do
	:: readable(r);
		if :: r != NOTHING -> break :: else fi;
		rwait = 1;                      /* S1 */
#ifndef NO_RECHECK
		readable(r);                    /* S2 */
		if :: r != NOTHING -> rwait = 0; break :: else fi;
#endif
parked_c:
		if                              /* S3 */
		:: atomic { token[C] -> token[C] = 0 }
		:: c_deadlines > 0 -> c_deadlines--
		fi;
#ifdef NO_REANNOUNCE
		readable(r);
		if :: r == NOTHING -> goto parked_c :: else fi;
#endif
		rwait = 0
	od
}

proctype Consumer() {
	byte c_tail, c_head, n, want, r;
	byte c_deadlines = DEADLINES;
	bit lost, ended;
	{
		do
		:: await_readable(r);
			if
			:: r == END ->
				assert(c_head == tail && (c_head == BYTES));
				break
			:: r == LOST ->
				assert(c_head == tail && killed[P]);
				break
			:: else
			fi;
			atomic { select(want : 1 .. CAP) };
			/* Len: a look at tail only if what is known doesn't do. */
			if
			:: c_tail - c_head < want -> c_tail = tail
			:: else
			fi;
			d_step {
				n = c_tail - c_head;
				if :: n > want -> n = want :: else fi
			};
			d_step {                    /* C2; the bytes are the consumer's own */
				want = 0;
				do
				:: n == 0 -> break
				:: n > 0 -> assert(ring[c_head % CAP] == c_head); c_head++; n--
				od
			};
#ifdef LOOK_BEFORE_PUBLISH
			if :: CAP - (c_tail - c_head) >= WAKE -> take_wait(wwait, P) :: else fi;
			head = c_head
#else
			head = c_head;              /* C3 and W1 */
			if :: CAP - (c_tail - c_head) >= WAKE -> take_wait(wwait, P) :: else fi
#endif
		:: rst = 1; break               /* Close before the end */
		od
	} unless { killed[C] };
	close_socket(C)
}

#ifdef KILLS
/* Fate kills one of the two, or none. */
proctype Fate() {
	if
	:: killed[P] = 1
	:: killed[C] = 1
	:: true
	fi
}
#endif

/* Spurious rings for nothing, as the other direction's ring or a hostile peer does. */
proctype Spurious() {
	do
	:: spurious[P] > 0 -> spurious[P]--; ring_bell(P)
	:: spurious[C] > 0 -> spurious[C]--; ring_bell(C)
	:: break
	od
}

init {
	atomic {
		spurious[P] = SPURIOUS;
		spurious[C] = SPURIOUS;
		run Await(P);
		run Await(C);
		run Producer();
		run Consumer();
#ifdef KILLS
		run Fate();
#endif
		run Spurious()
	}
}
