// lagtool says how far a consumer group lies behind, and makes it lie behind.
//
//	lagtool lag TOPIC GROUP          how many records it has not done
//	lagtool copy TOPIC CAMERA N      writes a camera's records again for N others: CAMERA-copy-0 and so on
//
// BROKERS says where Kafka is.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	log.SetFlags(0)
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 3 && args[0] == "lag":
		err = lag(ctx, args[1], args[2])
	case len(args) == 4 && args[0] == "copy":
		var copies int
		if copies, err = strconv.Atoi(args[3]); err == nil {
			err = copyRecords(ctx, args[1], args[2], copies)
		}
	default:
		err = errors.New("lagtool lag TOPIC GROUP | lagtool copy TOPIC CAMERA N")
	}
	if err != nil {
		log.Fatal("lagtool: ", err)
	}
}

func client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options, kgo.SeedBrokers(os.Getenv("BROKERS")))...)
}

func lag(ctx context.Context, topic, group string) error {
	client, err := client()
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	// A group that never committed lies behind all there is.
	committed, err := admin.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	var behind int64
	ends.Each(func(end kadm.ListedOffset) {
		at := int64(0)
		if offset, ok := committed.Lookup(end.Topic, end.Partition); ok && offset.At > 0 {
			at = offset.At
		}
		behind += end.Offset - at
	})
	fmt.Println(behind)
	return nil
}

// The records of each copy stay in their order: one producer writes them, by their key.
func copyRecords(ctx context.Context, topic, camera string, copies int) error {
	records, err := recordsOf(ctx, topic, camera)
	if err != nil {
		return err
	}
	client, err := client(kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	if err != nil {
		return err
	}
	defer client.Close()
	from := []byte(`"camera":"` + camera + `"`)
	var failed error
	for _, record := range records {
		for n := range copies {
			key := fmt.Sprintf("%s-copy-%d", camera, n)
			value := bytes.Replace(record.Value, from, []byte(`"camera":"`+key+`"`), 1)
			if bytes.Equal(value, record.Value) {
				return fmt.Errorf("a record of %s that does not name it: %s", camera, record.Value)
			}
			made := &kgo.Record{Key: []byte(key), Value: value, Headers: record.Headers}
			client.Produce(ctx, made, func(_ *kgo.Record, err error) {
				if err != nil {
					failed = err
				}
			})
		}
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	fmt.Println(len(records) * copies)
	return failed
}

// recordsOf gives a camera's records, which lie in one partition, in their order.
func recordsOf(ctx context.Context, topic, camera string) ([]*kgo.Record, error) {
	client, err := client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	left := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset > 0 {
			left[end.Partition] = end.Offset
		}
	})
	var found []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(record *kgo.Record) {
			if string(record.Key) == camera && !record.Attrs.IsControl() {
				found = append(found, record)
			}
			if record.Offset+1 >= left[record.Partition] {
				delete(left, record.Partition)
			}
		})
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no records of %s", topic, camera)
	}
	return found, nil
}
