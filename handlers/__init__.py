"""The SDK: step handlers, worker, publisher and subscriber, without Faust."""
