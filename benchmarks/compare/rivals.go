// Go's side of the comparison: a buffered channel and four goroutines that receive from it.
// The first argument is the measure, the others are its numbers; one line of JSON is said at the end.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"
)

const workers = 4

type call struct {
	intended time.Time
	payload  []byte
	hold     chan struct{}
}

type pool struct {
	calls   chan call
	running sync.WaitGroup
	turn    sync.Mutex
	late    []float64
}

func start(capacity int) *pool {
	made := &pool{calls: make(chan call, capacity)}
	for range workers {
		go func() {
			for each := range made.calls {
				if each.hold != nil {
					<-each.hold
				}
				if !each.intended.IsZero() {
					late := time.Since(each.intended).Seconds()
					made.turn.Lock()
					made.late = append(made.late, late)
					made.turn.Unlock()
				}
				made.running.Done()
			}
		}()
	}
	return made
}

func (made *pool) send(one call) {
	made.running.Add(1)
	made.calls <- one
}

func number(place int) float64 {
	value, err := strconv.ParseFloat(os.Args[place], 64)
	if err != nil {
		panic(err)
	}
	return value
}

func say(words map[string]any) {
	text, err := json.Marshal(words)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}

func stand(phase string, input *bufio.Reader) {
	say(map[string]any{"phase": phase})
	input.ReadString('\n')
}

func throughput() {
	count := int(number(2))
	made := start(1 << 20)
	began := time.Now()
	for range count {
		made.send(call{})
	}
	submitted := time.Since(began).Seconds()
	made.running.Wait()
	each := time.Since(began).Seconds() / float64(count)
	say(map[string]any{"count": count, "submit": submitted / float64(count), "each": each})
}

func latency() {
	rate, count := number(2), int(number(3))
	step := time.Duration(1e9 / rate)
	made := start(1 << 20)
	begin := time.Now().Add(10 * time.Millisecond)
	for i := range count {
		intended := begin.Add(time.Duration(i) * step)
		for {
			left := time.Until(intended)
			if left <= 0 {
				break
			}
			if left > 200*time.Microsecond {
				time.Sleep(left - 200*time.Microsecond)
			}
		}
		made.send(call{intended: intended})
	}
	behind := time.Since(begin.Add(time.Duration(count-1) * step)).Seconds()
	made.running.Wait()
	sort.Float64s(made.late)
	last := made.late[count*99/100]
	window := float64(count) / rate
	say(map[string]any{
		"rate": rate, "count": count, "p50": made.late[count/2], "p99": made.late[count*99/100],
		"saturated": behind > window*0.1 || last > window*0.5,
	})
}

func payload() {
	size, count := int(number(2)), int(number(3))
	made := start(1 << 20)
	text := make([]byte, size)
	began := time.Now()
	for range count {
		made.send(call{payload: text})
	}
	submitted := time.Since(began).Seconds()
	made.running.Wait()
	each := time.Since(began).Seconds() / float64(count)
	say(map[string]any{"size": size, "count": count, "submit": submitted / float64(count), "each": each})
}

func memory() {
	count := int(number(2))
	input := bufio.NewReader(os.Stdin)
	made := start(count + workers)
	stand("rest", input)
	gate := make(chan struct{})
	for range workers {
		made.send(call{hold: gate})
	}
	for range count {
		made.send(call{})
	}
	stand("waiting", input)
	close(gate)
	made.running.Wait()
	stand("drained", input)
	say(map[string]any{"count": count})
}

// Sends payloads that nobody receives until it may send no more within a second, or is ended by the system.
func fill() {
	capacity, size := int(number(2)), int(number(3))
	calls := make(chan call, capacity)
	accepted := 0
	for {
		text := make([]byte, size)
		for i := range text {
			text[i] = 'x'
		}
		select {
		case calls <- call{payload: text}:
			accepted++
			if accepted%50 == 0 {
				say(map[string]any{"accepted": accepted})
			}
		case <-time.After(time.Second):
			say(map[string]any{"accepted": accepted, "outcome": "blocked", "kept": len(calls)})
			return
		}
	}
}

func main() {
	map[string]func(){
		"throughput": throughput, "latency": latency, "payload": payload, "memory": memory, "fill": fill,
	}[os.Args[1]]()
}
