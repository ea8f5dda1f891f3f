#include <math.h>
#include <pthread.h>
#include <stdio.h>
static void *run(void *unused) { return unused; }
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, run, 0);
    pthread_join(thread, 0);
    printf("thread %.3f\n", sqrt(2));
}
