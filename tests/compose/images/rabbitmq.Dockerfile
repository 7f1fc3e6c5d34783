FROM scratch
ADD root.tar /
ENV PATH=/opt/rabbitmq/sbin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/var/lib/rabbitmq RABBITMQ_DATA_DIR=/var/lib/rabbitmq LANG=C.UTF-8
VOLUME /var/lib/rabbitmq
EXPOSE 4369 5671 5672 15671 15672 15691 15692 25672
CMD ["rabbitmq-server"]
