// One sender, five receivers, 128 slots. Hands over as many items as it is told, and prints how many seconds it took.
package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

func main() {
	count, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	channel := make(chan int, 128)
	var receivers sync.WaitGroup
	began := time.Now()
	for range 5 {
		receivers.Add(1)
		go func() {
			defer receivers.Done()
			for range channel {
			}
		}()
	}
	for item := range count {
		channel <- item
	}
	close(channel)
	receivers.Wait()
	fmt.Println(time.Since(began).Seconds())
}
