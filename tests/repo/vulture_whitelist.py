"""What vulture takes for unused though somebody reads or calls it; beside it who does."""

_.collect  # Prometheus, when it is scraped
_.describe  # Prometheus, when a collector is registered
trace  # Python, when it leaves a with block
_.VARIABLES  # the tests of the pages and of the deploy files
_.NAMES  # likewise
_.samples  # likewise
_.segments  # who reads the demo's events
_.never_labelled_ratio  # the tests of the demo's stream; so are the next six
_.median_label_delay_minutes
_.out_of_order_ratio
_.error_ratio
_.write_jsonl
_.summarise
_.transactions  # the integration tests
_.protocol  # Faust, of credentials
_.serialized_key_size  # Faust, of a record; so is the next
_.serialized_value_size
_._new_consumer_thread  # Faust, when it makes a consumer
_._fetch_max_wait_ms  # aiokafka's consumer; so is the next
_._isolation_level
_.disabled  # logging, of a logger
_._prefetch_backoff  # aiokafka's fetcher
_._send_produce_req  # aiokafka's producer
_._fetch_records  # Faust, in the consumer's thread
_.getall  # aiokafka's fetcher
_.get_buffer  # asyncio's transport
_.buffer_updated
sizehint
_.create_consumer  # Faust, of a transport
_._create_directories  # Faust, when an app starts
OneEach  # the checks, which hold our banks to river's own detectors; a new detector's line in the registry
_.is_open  # who asks whether what quiet found still lasts
_.sasl_password_file  # stream/config.py, by the name of its secret; so is the next
_.http_token_file
of_creator  # the page on security, and the tests that grant it
_.SCHEMA  # aiokafka, of a request; so are the next two
_.RESPONSE_TYPE
_.build
between_markers  # the test of the README's table
_.probabilities  # msgspec, which checks them though nobody reads them; so are the next three
_.safety
_.subject
_.variant
_._records_iterator  # aiokafka, of what it has fetched; so are the next four
_._fetch_max_bytes
_._last_action
_.size_in_bytes
_.MemoryRecords
