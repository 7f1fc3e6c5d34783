FROM scratch
ADD root.tar /
ENV HOME=/data/db
VOLUME /data/db /data/configdb
EXPOSE 27017
CMD ["mongod"]
