// isa_cost: compiles compute shaders with a real GPU compiler, without a GPU. (Written for this project.)
//
// Mesa's RADV can create a "null hardware" device: it compiles SPIR-V to the machine code of the chosen AMD
// chip but runs nothing. For each file this prints a line of JSON with the compiler's statistics (registers,
// spills, instructions, and its own estimates of latency and inverse throughput in cycles of a wave), and
// writes the assembly to FILE.CHIP.asm.
//
//   cc -O1 -o isa_cost isa_cost.c -lvulkan
//   export RADV_FORCE_FAMILY=navi21 VK_DRIVER_FILES=/usr/share/vulkan/icd.d/radeon_icd.x86_64.json
//   ./isa_cost navi21 KERNEL.spv...
//
// The estimates guess loop counts and ignore memory: they compare two versions of one kernel, and are not a
// time.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>

enum {
    MAX_WORDS = 1 << 22,
    MAX_IDS = 1 << 16,
    MAX_BINDINGS = 32,
    MAX_STATISTICS = 64,
    MAX_REPRESENTATIONS = 16
};

#define CHECK(call)                                               \
    do {                                                          \
        VkResult result_ = (call);                                \
        if (result_ != VK_SUCCESS) {                              \
            fprintf(stderr, "%s: VkResult %d\n", #call, result_); \
            exit(1);                                              \
        }                                                         \
    } while (0)

// A device of the chip that RADV_FORCE_FAMILY names, with all its features.
static VkDevice open_device(void) {
    VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_3};
    VkInstanceCreateInfo instance_info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                          .pApplicationInfo = &app};
    VkInstance instance;
    CHECK(vkCreateInstance(&instance_info, NULL, &instance));
    uint32_t count = 1;
    VkPhysicalDevice gpu;
    VkResult found = vkEnumeratePhysicalDevices(instance, &count, &gpu);
    if ((found != VK_SUCCESS && found != VK_INCOMPLETE) || count == 0) {
        fprintf(stderr, "no device: set RADV_FORCE_FAMILY and VK_DRIVER_FILES\n");
        exit(1);
    }
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(gpu, &properties);
    fprintf(stderr, "%s\n", properties.deviceName);

    // Cooperative matrices too, if the driver and the chip have them.
    uint32_t extension_count = 0;
    CHECK(vkEnumerateDeviceExtensionProperties(gpu, NULL, &extension_count, NULL));
    VkExtensionProperties *extensions = calloc(extension_count, sizeof *extensions);
    CHECK(vkEnumerateDeviceExtensionProperties(gpu, NULL, &extension_count, extensions));
    const char *names[] = {"VK_KHR_pipeline_executable_properties", "VK_KHR_cooperative_matrix"};
    uint32_t name_count = 1;
#ifdef VK_KHR_cooperative_matrix
    for (uint32_t i = 0; i < extension_count; i++) {
        if (strcmp(extensions[i].extensionName, names[1]) == 0) name_count = 2;
    }
#endif

    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executables = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR};
    VkPhysicalDeviceVulkan13Features v13 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
                                            .pNext = &executables};
    VkPhysicalDeviceVulkan12Features v12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
                                            .pNext = &v13};
    VkPhysicalDeviceVulkan11Features v11 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
                                            .pNext = &v12};
#ifdef VK_KHR_cooperative_matrix
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrices = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR};
    if (name_count == 2) executables.pNext = &matrices;
#endif
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                          .pNext = &v11};
    vkGetPhysicalDeviceFeatures2(gpu, &features);
    float priority = 1;
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority};
    VkDeviceCreateInfo device_info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                      .pNext = &features,
                                      .queueCreateInfoCount = 1,
                                      .pQueueCreateInfos = &queue,
                                      .enabledExtensionCount = name_count,
                                      .ppEnabledExtensionNames = names};
    VkDevice device;
    CHECK(vkCreateDevice(gpu, &device_info, NULL, &device));
    return device;
}

// The layout of a module's one bind group, read from its decorations, and the name of its entry point.
static VkPipelineLayout layout_of(VkDevice device, const uint32_t *code, size_t words, const char **entry) {
    static int binding_of[MAX_IDS];
    memset(binding_of, -1, sizeof binding_of);
    VkDescriptorSetLayoutBinding bindings[MAX_BINDINGS];
    uint32_t count = 0;
    for (size_t i = 5; i < words && code[i] >> 16; i += code[i] >> 16) {
        const uint32_t *operand = &code[i + 1];
        switch (code[i] & 0xffff) {
        case 15: // OpEntryPoint: model, id, name
            *entry = (const char *)&operand[2];
            break;
        case 71: // OpDecorate: id, Binding, number
            if (operand[1] == 33 && operand[0] < MAX_IDS) binding_of[operand[0]] = (int)operand[2];
            break;
        case 59: // OpVariable: type, id, storage class; 12 is StorageBuffer
            if (operand[1] < MAX_IDS && binding_of[operand[1]] >= 0 && count < MAX_BINDINGS)
                bindings[count++] = (VkDescriptorSetLayoutBinding){
                    .binding = (uint32_t)binding_of[operand[1]],
                    .descriptorCount = 1,
                    .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
                    .descriptorType = operand[2] == 12 ? VK_DESCRIPTOR_TYPE_STORAGE_BUFFER
                                                       : VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER};
            break;
        }
    }
    VkDescriptorSetLayoutCreateInfo set_info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                                .bindingCount = count,
                                                .pBindings = bindings};
    VkDescriptorSetLayout set;
    CHECK(vkCreateDescriptorSetLayout(device, &set_info, NULL, &set));
    VkPipelineLayoutCreateInfo layout_info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1, .pSetLayouts = &set};
    VkPipelineLayout layout;
    CHECK(vkCreatePipelineLayout(device, &layout_info, NULL, &layout));
    return layout;
}

static void write_assembly(VkDevice device, const VkPipelineExecutableInfoKHR *executable, const char *file,
                           const char *chip) {
    PFN_vkGetPipelineExecutableInternalRepresentationsKHR get =
        (PFN_vkGetPipelineExecutableInternalRepresentationsKHR)vkGetDeviceProcAddr(
            device, "vkGetPipelineExecutableInternalRepresentationsKHR");
    VkPipelineExecutableInternalRepresentationKHR texts[MAX_REPRESENTATIONS] = {0};
    for (int i = 0; i < MAX_REPRESENTATIONS; i++)
        texts[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
    uint32_t count = MAX_REPRESENTATIONS;
    CHECK(get(device, executable, &count, texts)); // their sizes
    for (uint32_t i = 0; i < count; i++) texts[i].pData = calloc(1, texts[i].dataSize + 1);
    CHECK(get(device, executable, &count, texts));
    char path[4096];
    snprintf(path, sizeof path, "%s.%s.asm", file, chip);
    FILE *out = fopen(path, "w");
    if (!out) {
        perror(path);
        exit(2);
    }
    for (uint32_t i = 0; i < count; i++) {
        // "Assembly" in RADV, "NAK assembly" in NVK, "IR3 Assembly" in Turnip.
        if (strstr(texts[i].name, "ssembly")) fputs(texts[i].pData, out);
        free(texts[i].pData);
    }
    fclose(out);
}

static void compile(VkDevice device, const char *file, const char *chip) {
    static uint32_t code[MAX_WORDS];
    FILE *in = fopen(file, "rb");
    if (!in) {
        perror(file);
        exit(2);
    }
    size_t words = fread(code, 4, MAX_WORDS, in);
    fclose(in);
    if (words < 5 || code[0] != 0x07230203) {
        fprintf(stderr, "%s: not SPIR-V\n", file);
        exit(2);
    }
    VkShaderModuleCreateInfo module_info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = words * 4, .pCode = code};
    VkShaderModule module;
    CHECK(vkCreateShaderModule(device, &module_info, NULL, &module));
    const char *entry = "";
    VkPipelineLayout layout = layout_of(device, code, words, &entry);
    VkComputePipelineCreateInfo pipeline_info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .layout = layout,
        .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR |
                 VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = entry}};
    VkPipeline pipeline;
    CHECK(vkCreateComputePipelines(device, VK_NULL_HANDLE, 1, &pipeline_info, NULL, &pipeline));

    VkPipelineExecutableInfoKHR executable = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR,
                                              .pipeline = pipeline};
    PFN_vkGetPipelineExecutableStatisticsKHR get =
        (PFN_vkGetPipelineExecutableStatisticsKHR)vkGetDeviceProcAddr(device,
                                                                      "vkGetPipelineExecutableStatisticsKHR");
    VkPipelineExecutableStatisticKHR statistics[MAX_STATISTICS] = {0};
    for (int i = 0; i < MAX_STATISTICS; i++)
        statistics[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    uint32_t count = MAX_STATISTICS;
    CHECK(get(device, &executable, &count, statistics));
    printf("{\"file\": \"%s\"", file);
    for (uint32_t i = 0; i < count; i++)
        if (statistics[i].format == VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR)
            printf(", \"%s\": %llu", statistics[i].name, (unsigned long long)statistics[i].value.u64);
    printf("}\n");
    write_assembly(device, &executable, file, chip);
    vkDestroyPipeline(device, pipeline, NULL);
    vkDestroyShaderModule(device, module, NULL);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: isa_cost CHIP KERNEL.spv...\n");
        return 2;
    }
    VkDevice device = open_device();
    for (int i = 2; i < argc; i++) compile(device, argv[i], argv[1]);
    return 0;
}
