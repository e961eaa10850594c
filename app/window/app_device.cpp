// What the window computes on: the wish, its commands, and what is to be said about it.

#include "panels/device_row.h"
#include "window/app.h"

#include <imgui_internal.h>

#include <utility>

namespace convscope {

namespace {

constexpr const char* device_banner = "device";

std::string id_of(const DeviceWish& wish) { return "device." + name_of(wish); }

/// "Auto", "CPU", "GPU 0 (name)".
std::string long_name(const DeviceWish& wish, const DeviceChoice& devices) {
  if (wish.kind == DeviceWish::Kind::automatic) return "Auto";
  return wish.kind == DeviceWish::Kind::gpu ? devices.name_of_gpu(wish.number) : short_name(wish);
}

}  // namespace

void App::set_device(const DeviceWish& wish) {
  settings_.device = wish;
  ImGui::MarkIniSettingsDirty();
  messages_.clear_banner(device_banner);
  devices_.want(wish);
  devices_changed_ = true;                 // the table of commands may be in use now
  frames_due_ = std::max(frames_due_, 2);  // work on it begins with the next frame
}

void App::poll_device() {
  if (devices_.poll() || std::exchange(devices_changed_, false)) describe_devices();
  if (std::string warning = devices_.take_warning(); !warning.empty()) {
    messages_.set_banner(device_banner, Severity::warning, std::move(warning));
  }
  session_.compute_on(devices_.chosen());
  if (slot_b_) slot_b_->session.compute_on(devices_.chosen());
}

void App::describe_devices() {
  for (const DeviceWish& wish : device_wishes(devices_)) {
    const std::string id = id_of(wish);
    if (actions_.find(id)) {
      actions_.describe(id, long_name(wish, devices_), about(wish, devices_));
      continue;
    }
    actions_.add({.id = id,
                  .menu = "Run/Device",
                  .name = long_name(wish, devices_),
                  .run = [this, wish] { set_device(wish); },
                  .enabled = [this, wish] { return wish.kind != DeviceWish::Kind::gpu || devices_.may_be(wish.number); },
                  .ticked = [this, wish] { return devices_.wish() == wish; },
                  .help = about(wish, devices_),
                  .after_line = wish.kind == DeviceWish::Kind::automatic});
  }
}

}  // namespace convscope
