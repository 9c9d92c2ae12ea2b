#include "bench/sim/server.h"

double sim_server_speed(const sim_server *self, uint32_t class_index)
{
    if (self->paused) {
        return 0;
    }
    double speed = self->own_speed * self->factor * self->drift_factor / self->cold_factor;
    return class_index == 1 ? speed * self->class_factor : speed;
}

double sim_server_rounds(const sim_server *self, uint32_t rif)
{
    double rounds = (double)rif / self->workers;
    return rounds > 1 ? rounds : 1;
}

double sim_server_lag_ms(const sim_server *self, uint64_t now_us)
{
    double lag_us = self->lag_us + self->lag_slope * (double)(now_us - self->lag_since_us);
    return lag_us > 0 ? lag_us / 1e3 : 0;
}

pcl_report sim_server_report(sim_server *self, uint32_t proxy, const sim_attempt *answered,
                             uint64_t now_us)
{
    pcl_service_summary service = pcl_service_summarize(&self->service, now_us);
    pcl_report report = {
        .boot_id = self->boot_id,
        .seq = ++self->seq,
        .term = 1,
        .role = PCL_NODE_REPLICA,
        .state = PCL_NODE_UP,
        .flavor = PCL_FLAVOR_MYSQL,
        .read_only = true,
        .replicating = true,
        .warm_percent = 100,
        .workers = (uint16_t)self->workers,
        .lag_ms = (int32_t)sim_server_lag_ms(self, now_us),
        .rif = self->rif,
        .rif_you = self->yours[proxy],
        .fault = answered != NULL && answered->fault,
        .running = self->running_count,
        .queued = self->rif - self->running_count,
        .errors = self->errors,
        .served = self->served,
        .service_mean_us = service.mean_us,
        .service_count = service.count,
        .service_variance = service.variance,
        .service_fast_us = service.fast_us,
        .service_fast_count = service.fast_count,
    };
    if (answered != NULL && !answered->failed) {
        report.exec_us = (uint32_t)(answered->ended_us - answered->began_us);
        report.queue_us = (uint32_t)(answered->began_us - answered->reached_us);
    }
    return report;
}
