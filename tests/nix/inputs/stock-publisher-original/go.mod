module github.com/switzerchees/stock-publisher

go 1.22.2

require github.com/streadway/amqp v1.1.0
